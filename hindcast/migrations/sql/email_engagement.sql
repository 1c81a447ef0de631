-- Tables and views of email engagement.
SELECT;

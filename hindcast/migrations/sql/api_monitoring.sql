-- Tables and views of API monitoring.
SELECT;

-- Tables and views of events we make.
SELECT;

-- Tables and views of Amplitude.
SELECT;

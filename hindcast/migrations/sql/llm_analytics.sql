-- Tables and views of LLM analytics.
SELECT;

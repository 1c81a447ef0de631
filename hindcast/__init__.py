"""The work: reading exports, staging, loading, proving. Imports neither Prefect nor Great Expectations."""

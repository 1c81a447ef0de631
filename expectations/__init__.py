"""What good data is: suites as JSON and the gate that runs them. The only importer of Great Expectations."""

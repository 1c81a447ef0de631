"""What a person runs. A flow reads as a table of contents; the steps are in `tasks`, the work in `hindcast`."""

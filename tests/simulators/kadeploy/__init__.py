"""A stand-in for Kadeploy 3; see README.md."""

"""Looks at hosts and at the AWS side, and answers with findings."""

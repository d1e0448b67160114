"""kirikae moves a service from virtual machines to containers on Amazon ECS without stopping it."""

__version__ = "0.1.0"

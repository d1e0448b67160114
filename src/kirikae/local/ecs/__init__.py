"""Elastic Container Service: definitions, tasks, services and their deployments."""

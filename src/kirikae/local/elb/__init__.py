"""Elastic Load Balancing v2 (application load balancers) over HAProxy, and its figures."""

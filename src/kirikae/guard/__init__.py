"""Looks at Dockerfiles and task definitions, as they are written anywhere, and says what Fargate,
NIST SP 800-190 and the twelve factors have against them."""

"""Application Auto Scaling of ECS services, by the law of ``model.scaling``."""

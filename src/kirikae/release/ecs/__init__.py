"""ECS definitions as ecspresso keeps them: read, rendered, compared with what runs, and proven."""

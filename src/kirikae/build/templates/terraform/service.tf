# Where tasks run.  `kirikae release deploy` brings task definitions, network and number of tasks; a first
# definition, of which no task is started, is only there because a service must have one.  {{ note }}.
resource "aws_ecs_cluster" "main" {
  name = {{ cluster | hcl }}
  tags = local.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}
{% if capacity %}

resource "aws_ecs_cluster_capacity_providers" "main" {
  cluster_name       = aws_ecs_cluster.main.name
  capacity_providers = {{ capacity | map(attribute="capacityProvider") | list | hcl(1) }}
}
{% endif %}
{% for one in services %}

resource "aws_ecs_task_definition" "{{ one.label }}" {
  family                   = {{ (one.name ~ "-first") | hcl }}
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"
  execution_role_arn       = aws_iam_role.execution.arn
  tags                     = local.tags

  container_definitions = jsonencode({{ one.first | hcl(1) }})

  runtime_platform {
    cpu_architecture        = {{ architecture | hcl }}
    operating_system_family = "LINUX"
  }
}

resource "aws_ecs_service" "{{ one.label }}" {
  name                               = {{ one.name | hcl }}
  cluster                            = aws_ecs_cluster.main.id
  task_definition                    = aws_ecs_task_definition.{{ one.label }}.arn
  desired_count                      = 0
{% if not capacity %}
  launch_type                        = "FARGATE"
{% endif %}
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
{% if one.front %}
  health_check_grace_period_seconds  = 30
{% endif %}
  tags                               = local.tags
{% for row in capacity %}

  capacity_provider_strategy {
    capacity_provider = {{ row.capacityProvider | hcl }}
    base              = {{ row.base | default(0) }}
    weight            = {{ row.weight }}
  }
{% endfor %}

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets         = {{ subnets | hcl(2) }}
    security_groups = {{ groups | hcl(2) }}
  }
{% if one.front %}

  load_balancer {
    target_group_arn = aws_lb_target_group.new.arn
    container_name   = {{ one.front | hcl }}
    container_port   = {{ port }}
  }
{% endif %}

  lifecycle {
    ignore_changes = [task_definition, desired_count, network_configuration]
  }
{% if one.front %}

  # A target group without a load balancer is refused.
  depends_on = [{{ "aws_lb_listener_rule.belongs" if rule else "aws_lb_listener.main" }}]
{% endif %}
}

# `kirikae capacity apply` sets its ends and its rules.
resource "aws_appautoscaling_target" "{{ one.label }}" {
  service_namespace  = "ecs"
  resource_id        = "service/${aws_ecs_cluster.main.name}/${aws_ecs_service.{{ one.label }}.name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = 0
  max_capacity       = {{ one.most }}
  tags               = local.tags

  lifecycle {
    ignore_changes = [min_capacity, max_capacity]
  }
}
{% endfor %}

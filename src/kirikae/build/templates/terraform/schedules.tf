# Services that run once, started by the clock.  {{ note }}.
resource "aws_sqs_queue" "missed" {
  name                      = {{ missed | hcl }}
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = local.tags
}
{% for one in schedules %}

resource "aws_scheduler_schedule" "{{ one.label }}" {
  name                         = {{ one.name | hcl }}
  schedule_expression          = {{ one.at | hcl }}
  schedule_expression_timezone = {{ zone | hcl }}

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_ecs_cluster.main.arn
    role_arn = aws_iam_role.schedule.arn

    ecs_parameters {
      # Without a revision: the newest one.
      task_definition_arn = {{ one.definition | hcl }}
      launch_type         = "FARGATE"
      task_count          = 1

      network_configuration {
        subnets         = {{ subnets | hcl(4) }}
        security_groups = {{ groups | hcl(4) }}
      }
    }

    # Nothing runs twice because a first start was not answered.
    retry_policy {
      maximum_retry_attempts = 0
    }

    dead_letter_config {
      arn = aws_sqs_queue.missed.arn
    }
  }
}
{% endfor %}

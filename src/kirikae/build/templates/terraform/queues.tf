# Queues of jobs and workers.  {{ note }}.
{% for one in queues %}
{% if one.dead %}
{{ "\n" if not loop.first }}resource "aws_sqs_queue" "{{ ("queue-" ~ one.dead) | label }}" {
  name                      = {{ one.dead | hcl }}
{% if one.in_order %}
  fifo_queue                = true
{% endif %}
  message_retention_seconds = {{ one.kept_s }}
  sqs_managed_sse_enabled   = true
  tags                      = local.tags
}

resource "aws_sqs_queue" "{{ ("queue-" ~ one.name) | label }}" {
  name                        = {{ one.name | hcl }}
{% if one.in_order %}
  fifo_queue                  = true
  content_based_deduplication = true
{% endif %}
  visibility_timeout_seconds  = {{ one.hidden_s }}
  message_retention_seconds   = {{ one.kept_s }}
  sqs_managed_sse_enabled     = true
  tags                        = local.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.{{ ("queue-" ~ one.dead) | label }}.arn
    maxReceiveCount     = {{ one.receives }}
  })
}
{% else %}
{{ "\n" if not loop.first }}# Both sides consume it: it is as the old one made it.
resource "aws_sqs_queue" "{{ ("queue-" ~ one.name) | label }}" {
  name = {{ one.name | hcl }}

  lifecycle {
    ignore_changes  = all
    prevent_destroy = true
  }
}
{% endif %}
{% endfor %}

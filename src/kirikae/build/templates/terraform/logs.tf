# What containers write.  {{ note }}.
{% for name in groups %}
{{ "\n" if not loop.first }}resource "aws_cloudwatch_log_group" "{{ name | label }}" {
  name              = {{ name | hcl }}
  retention_in_days = {{ days }}
  tags              = local.tags
}
{% endfor %}

# Roles, each with what it calls and no more; `kirikae iam` prints what a deployment calls.  {{ note }}.
{% for one in roles %}
{{ "\n" if not loop.first }}# {{ one.says }}
resource "aws_iam_role" "{{ one.label }}" {
  name = {{ one.name | hcl }}
  tags = local.tags

  assume_role_policy = jsonencode({{ one.trust | hcl(1) }})
}
{% if one.policy %}

resource "aws_iam_role_policy" "{{ one.label }}" {
  name = {{ one.label | hcl }}
  role = aws_iam_role.{{ one.label }}.id

  policy = jsonencode({{ one.policy | hcl(1) }})
}
{% endif %}
{% endfor %}
{% for one in providers %}

resource "aws_iam_openid_connect_provider" "{{ one.label }}" {
  url            = {{ one.url | hcl }}
  client_id_list = {{ one.audiences | hcl(1) }}
  tags           = local.tags
}
{% endfor %}

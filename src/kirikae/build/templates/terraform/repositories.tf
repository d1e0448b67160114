# Where images lie.  The base storey's name is made from its inputs and is built anew each night; all others are
# written once.  {{ note }}.
{% for one in repositories %}
{{ "\n" if not loop.first }}resource "aws_ecr_repository" "{{ one.label }}" {
  name                 = {{ one.name | hcl }}
  image_tag_mutability = {{ one.tags | hcl }}
  tags                 = local.tags

  encryption_configuration {
    encryption_type = "KMS"
  }

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "{{ one.label }}" {
  repository = aws_ecr_repository.{{ one.label }}.name

  policy = jsonencode({{ one.rules | hcl(1) }})
}
{% endfor %}

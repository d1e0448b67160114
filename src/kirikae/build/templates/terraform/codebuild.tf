# CI on CodeBuild: the buildspecs of this repository, on a machine that builds images.  The account needs a connection
# to the repository once, by hand: console, CodeBuild, Settings, Source credentials.  {{ note }}.
{% for one in projects %}
{{ "\n" if not loop.first }}resource "aws_codebuild_project" "{{ one.label }}" {
  name                   = {{ one.name | hcl }}
  description            = {{ one.says | hcl }}
  service_role           = aws_iam_role.deploy.arn
  source_version         = {{ branch | hcl }}
  build_timeout          = 60
  concurrent_build_limit = 1
  tags                   = local.tags

  artifacts {
    type = "NO_ARTIFACTS"
  }

  # Layers that did not change are neither built nor pushed again.
  cache {
    type  = "LOCAL"
    modes = ["LOCAL_DOCKER_LAYER_CACHE"]
  }

  environment {
    type            = {{ machine | hcl }}
    compute_type    = "BUILD_GENERAL1_MEDIUM"
    image           = {{ image | hcl }}
    privileged_mode = true
  }

  logs_config {
    cloudwatch_logs {
      group_name = {{ ("/aws/codebuild/" ~ one.name) | hcl }}
    }
  }

  source {
    type            = "GITHUB"
    location        = {{ location | hcl }}
    buildspec       = {{ one.buildspec | hcl }}
    git_clone_depth = 1
  }
}
{% if one.nightly %}

resource "aws_scheduler_schedule" "night-{{ one.label }}" {
  name                         = {{ one.name | hcl }}
  schedule_expression          = "cron(17 3 * * ? *)"
  schedule_expression_timezone = {{ zone | hcl }}

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = "arn:aws:scheduler:::aws-sdk:codebuild:startBuild"
    role_arn = aws_iam_role.night.arn
    input    = jsonencode({ ProjectName = aws_codebuild_project.{{ one.label }}.name })
  }
}
{% else %}

resource "aws_codebuild_webhook" "{{ one.label }}" {
  project_name = aws_codebuild_project.{{ one.label }}.name
  build_type   = "BUILD"

  filter_group {
    filter {
      type    = "EVENT"
      pattern = "PUSH"
    }

    filter {
      type    = "HEAD_REF"
      pattern = {{ pattern | hcl }}
    }
  }
}
{% endif %}
{% endfor %}

{% if rule %}
# The load balancer that is there, its rule with a weight for each side, and both target groups.  {{ note }}.
# kirikae turns the weights.  What others made is imported and left as it is (ignore_changes, prevent_destroy).
{% if rule_arn %}
locals {
  rule_arn = {{ rule_arn | hcl }}
}
{% else %}
data "aws_resourcegroupstaggingapi_resources" "rule" {
  resource_type_filters = ["elasticloadbalancing"]

  tag_filter {
    key    = "Name"
    values = [{{ rule_name | hcl }}]
  }
}

locals {
  # The rule of this load balancer whose tag Name it is; two of them are an error.
  rule_arn = one([
    for each in data.aws_resourcegroupstaggingapi_resources.rule.resource_tag_mapping_list :
    each.resource_arn
    if strcontains(each.resource_arn, {{ (":listener-rule/app/" ~ balancer ~ "/") | hcl }})
  ])
}
{% endif %}

locals {
  # arn:aws:elasticloadbalancing:REGION:ACCOUNT:listener-rule/app/NAME/BALANCER/LISTENER/RULE
  rule_parts   = split("/", local.rule_arn)
  listener_arn = replace(join("/", slice(local.rule_parts, 0, 5)), ":listener-rule/", ":listener/")
  balancer_arn = replace(join("/", slice(local.rule_parts, 0, 4)), ":listener-rule/", ":loadbalancer/")
}

data "aws_lb" "main" {
  arn = local.balancer_arn
}

data "aws_lb_listener" "main" {
  arn = local.listener_arn
}

data "aws_lb_target_group" "old" {
  name = {{ old_group | hcl }}
}

resource "aws_lb" "main" {
  name               = data.aws_lb.main.name
  internal           = data.aws_lb.main.internal
  load_balancer_type = data.aws_lb.main.load_balancer_type
  security_groups    = data.aws_lb.main.security_groups
  subnets            = data.aws_lb.main.subnets

  lifecycle {
    ignore_changes  = all
    prevent_destroy = true
  }
}

resource "aws_lb_listener" "main" {
  load_balancer_arn = aws_lb.main.arn
  port              = data.aws_lb_listener.main.port
  protocol          = data.aws_lb_listener.main.protocol

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.old.arn
  }

  lifecycle {
    ignore_changes  = all
    prevent_destroy = true
  }
}

resource "aws_lb_target_group" "old" {
  name     = data.aws_lb_target_group.old.name
  port     = data.aws_lb_target_group.old.port
  protocol = data.aws_lb_target_group.old.protocol
  vpc_id   = data.aws_lb_target_group.old.vpc_id

  lifecycle {
    ignore_changes  = all
    prevent_destroy = true
  }
}

# What it matches is as it was; its weights are kirikae's.
resource "aws_lb_listener_rule" "main" {
  listener_arn = aws_lb_listener.main.arn

  action {
    type = "forward"

    forward {
      target_group {
        arn    = aws_lb_target_group.old.arn
        weight = 100
      }

      target_group {
        arn    = aws_lb_target_group.new.arn
        weight = 0
      }
    }
  }

  condition {
    path_pattern {
      values = ["/*"]
    }
  }

  lifecycle {
    ignore_changes  = all
    prevent_destroy = true
  }
}

# ECS takes no target group that belongs to no load balancer, and kirikae brings it into the rule only when the move
# begins. No client has an address of this network (RFC 5737): the rule matches nothing.
resource "aws_lb_listener_rule" "belongs" {
  listener_arn = aws_lb_listener.main.arn
  tags         = local.tags

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.new.arn
  }

  condition {
    source_ip {
      values = ["192.0.2.0/24"]
    }
  }
}
{% else %}
# A load balancer of the new side's own: no move turns a rule of one that is there.  {{ note }}.
{% if not public_subnets %}
variable "public_subnets" {
  description = "Subnets of the load balancer, in two zones or more"
  type        = list(string)
}

{% endif %}
{% if not certificate %}
variable "certificate" {
  description = "ARN of the certificate (ACM) that the load balancer shows"
  type        = string
}

{% endif %}
resource "aws_lb" "main" {
  name                       = {{ new_balancer | hcl }}
  load_balancer_type         = "application"
  security_groups            = [aws_security_group.balancer.id]
  subnets                    = {{ (public_subnets | hcl(1)) if public_subnets else "var.public_subnets" }}
  drop_invalid_header_fields = true
  enable_deletion_protection = true
  tags                       = local.tags
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.main.arn
  port              = 80
  protocol          = "HTTP"
  tags              = local.tags

  default_action {
    type = "redirect"

    redirect {
      port        = "443"
      protocol    = "HTTPS"
      status_code = "HTTP_301"
    }
  }
}

resource "aws_lb_listener" "main" {
  load_balancer_arn = aws_lb.main.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = {{ (certificate | hcl) if certificate else "var.certificate" }}
  tags              = local.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.new.arn
  }

  # A weighted forward of kirikae's is not set back.
  lifecycle {
    ignore_changes = [default_action]
  }
}
{% endif %}
{% if new_exists %}

data "aws_lb_target_group" "new" {
  name = {{ new_group | hcl }}
}
{% endif %}

resource "aws_lb_target_group" "new" {
  name                 = {{ new_group | hcl }}
  target_type          = "ip"
  port                 = {{ port }}
  protocol             = "HTTP"
  vpc_id               = data.aws_vpc.main.id
  deregistration_delay = {{ drain_s }}
  tags                 = local.tags

  health_check {
    path                = {{ check_path | hcl }}
    matcher             = {{ check_answer | hcl }}
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

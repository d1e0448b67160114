# Who may speak with whom: everybody with the load balancer, the load balancer with the tasks.  {{ note }}.
data "aws_vpc" "main" {
  id = {{ vpc | hcl }}
}

resource "aws_security_group" "tasks" {
  name        = {{ (service ~ "-tasks") | hcl }}
  description = "Tasks: only the load balancer asks them"
  vpc_id      = data.aws_vpc.main.id
  tags        = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "from_the_balancer" {
{% if rule %}
  for_each = toset(data.aws_lb.main.security_groups)

  security_group_id            = aws_security_group.tasks.id
  referenced_security_group_id = each.value
{% else %}
  security_group_id            = aws_security_group.tasks.id
  referenced_security_group_id = aws_security_group.balancer.id
{% endif %}
  from_port                    = {{ port }}
  to_port                      = {{ port }}
  ip_protocol                  = "tcp"
}

# The database and the like; what else the service calls inside of the network.
resource "aws_vpc_security_group_egress_rule" "to_the_network" {
  security_group_id = aws_security_group.tasks.id
  cidr_ipv4         = data.aws_vpc.main.cidr_block
  from_port         = 0
  to_port           = 65535
  ip_protocol       = "tcp"
}

# APIs of AWS and of others.
resource "aws_vpc_security_group_egress_rule" "to_https" {
  security_group_id = aws_security_group.tasks.id
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}
{% if relay %}

# The relay hands mail on, with TLS.
resource "aws_vpc_security_group_egress_rule" "to_mail" {
  security_group_id = aws_security_group.tasks.id
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 587
  to_port           = 587
  ip_protocol       = "tcp"
}
{% endif %}
{% if not rule %}

resource "aws_security_group" "balancer" {
  name        = {{ (service ~ "-balancer") | hcl }}
  description = "The load balancer: everybody asks it"
  vpc_id      = data.aws_vpc.main.id
  tags        = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "from_everybody" {
  for_each = toset(["80", "443"])

  security_group_id = aws_security_group.balancer.id
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = tonumber(each.value)
  to_port           = tonumber(each.value)
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "to_the_tasks" {
  security_group_id            = aws_security_group.balancer.id
  referenced_security_group_id = aws_security_group.tasks.id
  from_port                    = {{ port }}
  to_port                      = {{ port }}
  ip_protocol                  = "tcp"
}
{% endif %}

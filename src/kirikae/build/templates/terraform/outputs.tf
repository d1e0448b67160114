# What the project file asks for.  {{ note }}.
output "security_group" {
  description = "For build.security_groups"
  value       = aws_security_group.tasks.id
}

output "target_group" {
  description = "Of the new side"
  value       = aws_lb_target_group.new.arn
}

output "deploy_role" {
  description = "For whoever puts releases onto the new side"
  value       = aws_iam_role.deploy.arn
}

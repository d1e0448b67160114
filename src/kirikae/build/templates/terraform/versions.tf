# The infrastructure of {{ service }}'s new side.  {{ note }}.
# Add a backend.tf of your own for the state, then: terraform init && terraform plan
terraform {
  required_version = ">= 1.7"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0, < 7.0"
    }
  }
}

provider "aws" {
  region              = {{ region | hcl }}
  allowed_account_ids = [{{ account | hcl }}]
}

locals {
  tags = {{ tags | hcl(1) }}
}

# What is there already: it becomes Terraform's, and is not made again.  {{ note }}.
{% for one in imports %}
{{ "\n" if not loop.first }}import {
  to = {{ one.to }}
  id = {{ one.id | hcl }}
}
{% endfor %}

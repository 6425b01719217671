"""What is measured: each scenario is a list of cases, and every contender that is fit for a case runs it in turn."""

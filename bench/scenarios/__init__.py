"""What is measured: a scenario is a list of cases, and every contender that suits a case runs it in turn."""

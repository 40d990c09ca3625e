"""From a grid to committed outputs: plan, search, trials, handoffs. Only here is Ray imported."""

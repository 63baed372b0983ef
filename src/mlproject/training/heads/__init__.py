"""Linear heads on cached features: trained without autograd, in batches of heads, or in closed form."""

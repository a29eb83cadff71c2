"""Running kernels: compile what the emitters wrote and compare it with the definition."""

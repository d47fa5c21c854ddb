"""What leaks: corrections of CBV for agent that leaves the vessels, by ΔR2* or in the signal."""

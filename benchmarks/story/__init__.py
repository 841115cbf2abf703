"""How well a planner understands stories: F1 of characters, scene borders, presence, speakers."""

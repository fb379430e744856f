"""What is compared: models in their forms, linear floors, and the controls of each."""

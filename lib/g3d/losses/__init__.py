"""What training minimises and evaluation measures alike: functions of tensors, differentiable, without a model."""

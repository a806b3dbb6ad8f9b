"""What is measured on images and shapes: functions of arrays, without a model, a method or a command."""

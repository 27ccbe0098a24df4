"""Where a lifter errs: on new poses, hidden joints, poor detections, and by the length of its window."""

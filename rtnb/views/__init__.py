"""Pictures and pages made from folds: static, right without a kernel."""

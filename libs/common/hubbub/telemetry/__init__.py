"""What a process tells its operators: logs, metrics and traces.

What is measured belongs to whoever measures it; here is only how it gets out.
"""

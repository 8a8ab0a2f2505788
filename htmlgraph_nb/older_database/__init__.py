"""The older HtmlGraph project's database, read without a trace, and its way into this one."""

"""Import the database of the older HtmlGraph project."""

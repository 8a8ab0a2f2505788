"""Where session files are and how they are opened, whatever is found in their place."""

"""Where models come from: roots on disk and in object stores, their layouts, what is loaded."""

"""The decoder for browsers: a static page, and models as it reads them."""

"""Reads trained networks of thinktopic/cortex: Clojure maps, frozen by Nippy."""

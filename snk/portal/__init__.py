"""The portal: the pages of several processes behind one address, with their health at a glance."""

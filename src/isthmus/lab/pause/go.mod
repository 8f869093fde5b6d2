module isthmus.lab/pause

go 1.24

module multiwasm.test/guest

go 1.26.0

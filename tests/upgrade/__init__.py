"""What an upgrade must keep, recorded at commit 2fb60da: whoever ran that version goes on with the next one unchanged.

`files/` holds what operators have on their disks: configuration, variables, command lines, Helm values, a state file.
`kept/` holds what others script against: metrics, log fields, endpoints, error codes, the objects of the charts.
Neither is ever edited. A test here that fails says that an upgrade breaks somebody: the product is what changes.
What a later version adds is recorded beside it, in files of its own.
"""

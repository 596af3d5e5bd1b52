"""What an upgrade must keep, recorded at commit 2fb60da: who runs that version can install the next and change nothing.

`files/` holds what operators have: configuration, variables, command lines, Helm values, a state file.
`kept/` holds what others script against: metrics, log fields, endpoints, error codes, the charts' objects.
Never edit either. A test that fails here says that the upgrade breaks somebody's installation: fix the product.
Record what a later version adds in new files beside these.
"""

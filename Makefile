.PHONY: protos
protos:
	.venv/bin/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. $$(find protos -name '*.proto')

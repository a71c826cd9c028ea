"""What the number says with which a call ends."""

DONE = 0  # a refusal by the gate too
A_PERSON_MUST_ACT = 1  # data or settings: the same call would end the same
TRY_AGAIN = 75  # broker, MLflow, archive or Argo are away; EX_TEMPFAIL of sysexits.h

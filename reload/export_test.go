package reload

// Parameters are those that a session asks for, in this order, after INFO.
var Parameters = parameters

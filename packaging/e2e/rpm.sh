echo "# end"
